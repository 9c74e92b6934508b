"""What the environment of a container may say, and what happens when it says nothing or what cannot be."""

import pytest
from lab.container import GENIE


# --- secrets -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["HIVE_DB_PASSWORD_FILE", "POSTGRES_PASSWORD_FILE"])
@pytest.mark.parametrize("how", ["missing", "a directory"])
def test_a_secret_that_is_not_mounted_is_noticed(container, tmp_path, variable, how):
    """/run is a tmpfs that everybody may write to: a password made there would be another one at each start, and nobody would know it."""
    options = ["--read-only", "--tmpfs", "/run:mode=1777", "--tmpfs", "/tmp", "--env", f"{variable}=/run/secrets/db"]
    if how == "a directory":
        # What the engine mounts for a file that the host does not have.
        options += ["--volume", f"{tmp_path}/nothing:/run/secrets/db:ro"]
    one = container(GENIE).run(*options)
    assert one.wait_exit() == 64, one.describe()
    log = one.logs()
    told = {"missing": "there is no such file; mount the secret, or unset the variable", "a directory": "it is a directory; name a file"}[how]
    assert f"cannot read {variable}=/run/secrets/db: {told}" in log, log
    assert "made a password" not in log and "initdb" not in log
