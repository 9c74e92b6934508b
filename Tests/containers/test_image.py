"""The images as they lie there: what is in them, what is said of them, and what must not be in any layer."""

import hashlib
import json
import pathlib
import re
import struct
import tarfile
import tempfile

import pytest
from lab import docker as engine
from lab.container import AGENT, GENIE
from lab.docker import docker
from lab.dockerfile import parse, problems, stages

PROJECT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = ["hive-postgres", "hive-service", "hivesup", "hivesupd"]
BASE = "hivesup-test/postgres:16"


def dockerfile(role):
    return (PROJECT / f"Dockerfile.{role}").read_text()


def configuration(image):
    return engine.inspect("image", image)["Config"]


def in_image(image, script, *options, timeout=60):
    """What a shell in the image prints."""
    return docker("run", "--rm", "--label", engine.LABEL, "--network", "none", *options, "--entrypoint", "sh", image, "-c", script,
                  timeout=timeout).stdout


# --- Dockerfiles -------------------------------------------------------------------------------------------------------------------


def test_dockerfile_breaks_no_rule(role):
    assert problems(dockerfile(role)) == []


@pytest.mark.parametrize("rule, broken", [
    ("DL3006", "FROM debian"), ("DL3020", "ADD a /b"), ("DL3025", "CMD hivesup run"), ("DL3025", "HEALTHCHECK CMD hivesup healthcheck"),
    ("DL3000", "WORKDIR tmp"), ("DL3022", "COPY --from=nowhere /a /b"), ("secret", "ENV HIVE_DB_PASSWORD=x"), ("DL3002", "USER root"),
    ("DL3009", "RUN apt-get update && apt-get install -y --no-install-recommends x"), ("DL3027", "RUN apt install x"),
    ("DL3015", "RUN apt-get update && apt-get install -y x && rm -rf /var/lib/apt/lists/*"), ("DL3004", "RUN true && sudo id"),
])
def test_the_rules_find_what_they_are_for(rule, broken):
    assert any(rule in problem for problem in problems(dockerfile("genie") + "\n" + broken + "\n"))


def test_all_stages_but_the_last_are_the_same_text_but_for_the_role():
    """So that the engine builds them once. The configuration's stage names the role; the stages above it may not."""
    texts = []
    for role in (GENIE, AGENT):
        text = dockerfile(role.name)
        assert text.count("FROM ") == 4
        texts.append([line for line in text.splitlines() if not line.startswith("#")])
    shared = texts[0][:texts[0].index("FROM ${POSTGRES_IMAGE} AS configuration")]
    assert shared == texts[1][:len(shared)]
    assert any("swift build" in line for line in shared)
    renamed = [re.sub(r"\bagent\b", "genie", line).replace(str(AGENT.port), str(GENIE.port)) for line in texts[1]]
    assert renamed == texts[0]


def test_base_images_are_arguments_with_the_official_images_as_defaults(role):
    arguments = {one.text.split("=")[0]: one.text.partition("=")[2] for one in parse(dockerfile(role)) if one.word == "ARG"}
    assert arguments["SWIFT_IMAGE"].startswith("swift:6.") and arguments["SWIFT_IMAGE"].endswith("-bookworm")
    found = stages(parse(dockerfile(role)))
    assert [start.text for start, _ in found] == ["${SWIFT_IMAGE} AS manifest", "${SWIFT_IMAGE} AS build", "${POSTGRES_IMAGE} AS configuration", "${POSTGRES_IMAGE}"]
    assert "ARG POSTGRES_IMAGE=pgvector/pgvector:pg16-bookworm" in dockerfile(role)


# --- what is said of the image -------------------------------------------------------------------------------------------------------


def test_image_configuration(role):
    found = configuration(role.image)
    assert found["Entrypoint"] == ["/usr/local/bin/hivesup"]
    assert found["Cmd"] == ["run"]
    assert found["User"] == "1000:0"
    assert f"{role.port}/tcp" in found["ExposedPorts"]
    assert found["StopSignal"] == "SIGTERM"
    assert list(found["Volumes"]) == ["/var/lib/postgresql/data"]
    assert found["Healthcheck"]["Test"] == ["CMD", "/usr/local/bin/hivesup", "healthcheck"]
    environment = dict(one.split("=", 1) for one in found["Env"])
    assert environment["HIVE_ROLE"] == role.name
    assert environment["HIVE_PORT"] == str(role.port)
    assert environment["HIVE_PG_BINDIR"] == f"/usr/lib/postgresql/{environment['PG_MAJOR']}/bin"
    assert not [name for name in environment if re.search("PASSWORD|SECRET|TOKEN", name)]


def test_labels_are_those_of_the_oci_annotations(role):
    labels = configuration(role.image)["Labels"]
    assert labels["org.opencontainers.image.title"] == f"hive-{role}"
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert labels["org.opencontainers.image.base.name"] == BASE
    version = docker("run", "--rm", "--label", engine.LABEL, "--entrypoint", "hivesup", role.image, "--version").stdout
    assert labels["org.opencontainers.image.version"] in version.split()


# --- what is in it -----------------------------------------------------------------------------------------------------------------------


def executables(image, directory):
    """Our programs as they are in the image, copied into `directory`."""
    made = docker("create", "--label", engine.LABEL, image).stdout.strip()
    try:
        for program in PROGRAMS:
            docker("cp", f"{made}:/usr/local/bin/{program}", directory)
            yield program, (directory / program).read_bytes()
    finally:
        docker("rm", "--volumes", made)


def sections(elf):
    """The names of an ELF file's sections, and the types of its program headers."""
    assert elf[:6] == b"\x7fELF\x02\x01"
    program_offset, section_offset = struct.unpack_from("<QQ", elf, 32)
    program_size, program_count, section_size, section_count, names_index = struct.unpack_from("<HHHHH", elf, 54)
    headers = [struct.unpack_from("<IIQQQQ", elf, section_offset + index * section_size) for index in range(section_count)]
    names = headers[names_index][4]
    text = [elf[names + header[0]:elf.index(b"\0", names + header[0])].decode() for header in headers]
    return text, [struct.unpack_from("<I", elf, program_offset + index * program_size)[0] for index in range(program_count)]


def test_programs_are_ours_and_stripped(role, tmp_path):
    of_base = set(in_image(BASE, "ls /usr/local/bin /usr/local/sbin").split())
    assert sorted(set(in_image(role.image, "ls /usr/local/bin /usr/local/sbin").split()) - of_base) == PROGRAMS
    for program, content in executables(role.image, tmp_path):
        names, kinds = sections(content)
        assert ".symtab" not in names and not [name for name in names if name.startswith(".debug")], program
        # PT_INTERP: what is linked dynamically names its loader.
        assert (3 in kinds) == (program != "hivesupd"), program


def test_no_compiler_no_package_cache_no_build_tree(role):
    found = in_image(role.image, r"""
        for program in swift swiftc clang gcc cc c++ ld lld make git strip python3-config; do command -v $program; done
        find / -xdev \( -name '*.swift' -o -name '*.swiftmodule' -o -name .build -o -name Package.swift -o -name .git -o -name '*.deb' \
          -o -path '/var/lib/apt/lists/*' -o -path '/var/cache/apt/archives/*' -o -path '/root/.cache' -o -path '/root/.swiftpm' \) \
          ! -name partial ! -name lock 2>/dev/null
        ls -d /project /dependencies /programs /configuration 2>/dev/null
        true""")
    assert found.split() == []


def test_no_program_has_a_setuid_bit(role):
    assert in_image(role.image, "find / -xdev -type f -perm /6000", "--user", "0") == ""


def test_configuration_is_the_repositorys(role):
    found = in_image(role.image, "cd /etc/hivesup && find . -type f -exec sha256sum {} + && stat -c '%a %u %n' . sql hivesup.conf")
    digests = dict(reversed(line.split()) for line in found.splitlines() if len(line.split()) == 2)
    source = PROJECT / "etc" / role.name
    expected = {f"./{path.relative_to(source)}": hashlib.sha256(path.read_bytes()).hexdigest()
                for path in [*source.glob("*.conf"), *source.glob("sql/*"), *source.glob("conf.d/*.conf")] if path.is_file()}
    assert {name: digests.get(name) for name in expected} == expected
    assert set(digests) == set(expected), "the image has files that the repository has not"
    assert "755 0 .\n755 0 sql\n644 0 hivesup.conf\n" in found


def test_writable_directories_belong_to_group_0_so_that_any_user_may_write(role):
    directories = "/var/lib/postgresql/data /var/log/hivesup /var/backups/hivesup"
    assert in_image(role.image, f"stat -c '%u:%g %a' {directories}") == "1000:0 2775\n" * 3
    # Where each user makes what it needs. A tmpfs in the place of /run gets this mode.
    assert in_image(role.image, "stat -c '%u:%g %a' /run /tmp; ls /run/hivesup 2>&1 | grep -c 'No such'") == "0:0 1777\n0:0 1777\n1\n"
    assert "hive:x:1000:1000:" in in_image(role.image, "cat /etc/passwd")


def test_service_programs_of_the_options_are_there(role):
    assert in_image(role.image, "pgbouncer --version | head -1; redis-server --version").count("\n") >= 2


# --- nothing secret, in no layer -----------------------------------------------------------------------------------------------------------


SECRET_NAMES = re.compile(r"(^|/)(\.git|\.env|\.netrc|\.pgpass|\.ssh|id_rsa|id_ed25519|\.docker|\.aws|\.npmrc|\.pypirc|Package\.resolved|password)(/|$)")
SECRET_CONTENT = re.compile(
    rb"-----BEGIN [A-Z ]*PRIVATE KEY-----|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}|xox[bp]-[0-9A-Za-z-]{20}|SCRAM-SHA-256\$[0-9]+:")


def layers(image):
    """The layers of the image as (name, open tar file), the oldest first."""
    path = pathlib.Path(docker_save(image))
    try:
        with tarfile.open(path) as archive:
            [manifest] = json.load(archive.extractfile("manifest.json"))
            for name in manifest["Layers"]:
                with tarfile.open(fileobj=archive.extractfile(name)) as layer:
                    yield name, layer
    finally:
        path.unlink()


def docker_save(image):
    with tempfile.NamedTemporaryFile(prefix="hivesup-image.", suffix=".tar", delete=False) as file:
        docker("save", "--output", file.name, image, timeout=120)
        return file.name


def scan(image):
    base = {layer for layer in engine.inspect("image", BASE)["RootFS"]["Layers"]}
    own = engine.inspect("image", image)["RootFS"]["Layers"]
    found = []
    for digest, (name, layer) in zip(own, layers(image)):
        if digest in base:
            continue
        for entry in layer:
            if SECRET_NAMES.search(entry.name):
                found.append(entry.name)
            if entry.isfile():
                # A library that knows how a key begins is no key: text files only.
                content = layer.extractfile(entry).read()
                if b"\0" not in content[:4096] and SECRET_CONTENT.search(content):
                    found.append(f"{entry.name} (content)")
    return found


def test_no_secret_in_any_layer_nor_in_the_history(role):
    assert scan(role.image) == []
    history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", role.image).stdout
    assert not re.search(r"(?i)(password|secret|token)\S*=\S", history)


def test_the_scan_finds_a_secret(tmp_path):
    """…also one that a later layer has removed."""
    tag = engine.unique("secret")
    engine.build(tag, f"FROM {GENIE.image}\nUSER 0\nRUN echo 'x -----BEGIN RSA PRIVATE KEY----- x' > /srv/key && echo 1 > /srv/.pgpass\n"
                      "RUN rm /srv/key /srv/.pgpass\n", tmp_path)
    assert sorted(scan(tag)) == ["srv/.pgpass", "srv/key (content)"]


def test_no_secret_in_inspect_nor_in_the_logs(role, container, tmp_path):
    """The generated password, and one that was given by file, stay in their files; and they are those that count."""
    given = "correct-horse-battery-staple"
    file = tmp_path / "password"
    file.write_text(given + "\n")
    file.chmod(0o444)
    one = container(role).run("--volume", f"{file}:/run/secrets/db:ro", "--env", "HIVE_DB_PASSWORD_FILE=/run/secrets/db")
    two = container(role).run()
    for each in (one, two):
        each.wait_ready()
    generated = two.shell("cat /var/lib/postgresql/data/.hivesup/password").stdout.strip()
    assert len(generated) >= 16
    for each, secret, other in ((one, given, generated), (two, generated, given)):
        login = ["psql", "-X", "-A", "-t", "-w", "-h", "127.0.0.1", "-U", role.owner, "-d", role.database, "-c", "SELECT 'in'"]
        assert each.exec("env", f"PGPASSWORD={secret}", *login).stdout.strip() == "in"
        refused = each.exec("env", f"PGPASSWORD={other}", *login, check=False)
        assert refused.returncode != 0 and "password authentication failed" in refused.stderr, refused
        each.ctl("restart", "postgres-migrate")
        everything = json.dumps(each.inspect()) + each.logs() + each.ctl("status", "--json").stdout + each.ctl("events", "--json").stdout
        # What runs, the login above apart, which has ended.
        everything += each.shell("cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null", check=False).stdout
        assert "postgres-migrate" in everything
        assert secret not in everything
        assert "SCRAM-SHA-256$" not in everything
    assert one.shell("test -e /var/lib/postgresql/data/.hivesup/password", check=False).returncode == 1


# --- the same sources give the same files ------------------------------------------------------------------------------------------------------


@pytest.mark.seconds(480)
def test_a_second_compilation_gives_the_same_programs():
    """Every module of ours compiled, and every program linked anew in the build stage's image from the same sources: the same files, byte by byte."""
    output = docker("run", "--rm", "--label", engine.LABEL, "--network", "none", "hivesup-test/build:latest", "sh", "-ec", f"""
        cd /project
        for target in $(ls Sources | tr - _); do rm -f .build/release/$target.build/*.o; done
        mkdir /tmp/again
        for program in {" ".join(PROGRAMS)}; do
          rm .build/release/$program
          LD_PRELOAD=/usr/local/lib/whole-seconds.so swift build -c release --product $program >&2
          strip --strip-all -R .swift_modhash -R .note.gnu.build-id -o /tmp/again/$program .build/release/$program
        done
        (cd /tmp/again && sha256sum *)
        (cd /programs && sha256sum *)""", timeout=470).stdout
    lines = output.splitlines()
    assert len(lines) == 2 * len(PROGRAMS) and lines[:len(PROGRAMS)] == lines[len(PROGRAMS):], output
    assert in_image(GENIE.image, "cd /usr/local/bin && sha256sum hive*").splitlines() == lines[len(PROGRAMS):]


def test_our_files_have_the_date_of_the_build_argument_and_genie_and_agent_the_same_programs():
    listing = [in_image(role.image, "cd /usr/local/bin && sha256sum hive* && stat -c '%Y %a %u:%g %n' hive* && find /etc/hivesup -type f -exec stat -c %Y {} +")
               for role in (GENIE, AGENT)]
    programs = [[line for line in one.splitlines() if "hive" in line] for one in listing]
    assert programs[0] == programs[1]
    assert len(programs[0]) == 8
    for one in listing:
        assert set(re.findall(r"^(\d{10})\b", one, re.MULTILINE)) == {"1763683200"}
