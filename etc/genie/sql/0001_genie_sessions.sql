-- Sessions of the genie API.
-- Everything is IF NOT EXISTS or OR REPLACE: an adopted database may have come with the table.
CREATE TABLE IF NOT EXISTS genie_sessions (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id varchar(255) NOT NULL,
  session_data jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);
-- A table that was made by hand from the first design has no such column, and the trigger below sets it.
ALTER TABLE genie_sessions ADD COLUMN IF NOT EXISTS updated_at timestamptz NOT NULL DEFAULT now();

-- Listing is newest first, of everyone or of one user; the id makes the order total, so that pages neither skip nor repeat.
CREATE INDEX IF NOT EXISTS genie_sessions_created_at_idx ON genie_sessions (created_at DESC, id DESC);
CREATE INDEX IF NOT EXISTS genie_sessions_user_id_created_at_idx ON genie_sessions (user_id, created_at DESC, id DESC);

CREATE OR REPLACE FUNCTION set_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.updated_at := now();
  RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER genie_sessions_set_updated_at
  BEFORE UPDATE ON genie_sessions
  FOR EACH ROW EXECUTE FUNCTION set_updated_at();
