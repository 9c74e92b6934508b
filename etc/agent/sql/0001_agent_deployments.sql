-- Deployments of the agent API.
-- Everything is IF NOT EXISTS or OR REPLACE: an adopted database may have come with the table.
CREATE TABLE IF NOT EXISTS agent_deployments (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  agent_config jsonb NOT NULL DEFAULT '{}',
  deployment_status varchar(50) NOT NULL DEFAULT 'pending',
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);
-- A table that was made by hand from the first design has no such column, and the trigger below sets it.
ALTER TABLE agent_deployments ADD COLUMN IF NOT EXISTS updated_at timestamptz NOT NULL DEFAULT now();

-- Listing is newest first, of all or of one status; the id makes the order total, so that pages neither skip nor repeat.
CREATE INDEX IF NOT EXISTS agent_deployments_created_at_idx ON agent_deployments (created_at DESC, id DESC);
CREATE INDEX IF NOT EXISTS agent_deployments_status_created_at_idx
  ON agent_deployments (deployment_status, created_at DESC, id DESC);

CREATE OR REPLACE FUNCTION set_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.updated_at := now();
  RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER agent_deployments_set_updated_at
  BEFORE UPDATE ON agent_deployments
  FOR EACH ROW EXECUTE FUNCTION set_updated_at();
