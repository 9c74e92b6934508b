"""Dockerfiles as lists of instructions, and what is checked of them without building anything (hadolint's and Docker's own rules)."""

import json
import re


class Instruction:
    def __init__(self, line, word, text):
        self.line, self.word, self.text = line, word, text

    def __repr__(self):
        return f"line {self.line}: {self.word} {self.text[:60]}"

    @property
    def array(self):
        """The arguments of the exec form; None in the shell form."""
        try:
            value = json.loads(self.text)
        except ValueError:
            return None
        return value if isinstance(value, list) and all(isinstance(one, str) for one in value) else None


def parse(text):
    """Instructions with their continuation lines joined; comments are dropped."""
    instructions, pending, begun = [], "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#") or (not pending and not line.strip()):
            continue
        begun = begun if pending else number
        pending += line.rstrip("\\") if line.endswith("\\") else line
        if line.endswith("\\"):
            continue
        word, _, rest = pending.strip().partition(" ")
        instructions.append(Instruction(begun, word, rest.strip()))
        pending = ""
    if pending:
        raise ValueError(f"the instruction in line {begun} has no end")
    return instructions


def stages(instructions):
    """[(the FROM, the instructions after it)]; what is before the first FROM is left out."""
    found = []
    for one in instructions:
        if one.word == "FROM":
            found.append((one, []))
        elif found:
            found[-1][1].append(one)
    return found


def problems(text):
    """What breaks a rule, a sentence each. The names are hadolint's."""
    found = []

    def say(rule, one, sentence):
        found.append(f"{rule} {one}: {sentence}")

    instructions = parse(text)
    names = []
    for one in instructions:
        if one.word != one.word.upper():
            say("word", one, "instructions are written in capitals")
        if one.word == "FROM":
            source = one.text.split()
            image, alias = source[0], source[2] if len(source) == 3 and source[1].upper() == "AS" else None
            if not image.startswith("${") and image not in names and (":" not in image or image.endswith(":latest")):
                say("DL3006/DL3007", one, "the image has no tag, or latest")
            if alias in names:
                say("DL3024", one, "the stage's name is taken")
            names.append(alias)
        if one.word == "ARG" and re.search(r"_IMAGE=.*(:latest|^[^:]*)$", one.text):
            say("DL3006/DL3007", one, "the image has no tag, or latest")
        if one.word == "MAINTAINER":
            say("DL4000", one, "is deprecated")
        if one.word == "ADD":
            say("DL3020", one, "COPY copies")
        if one.word in ("CMD", "ENTRYPOINT") and one.array is None:
            say("DL3025", one, "takes the exec form")
        if one.word == "HEALTHCHECK":
            _, _, command = one.text.partition("CMD ")
            if Instruction(one.line, "CMD", command.strip()).array is None:
                say("DL3025", one, "takes the exec form: the image need not have a shell")
        if one.word == "WORKDIR" and not one.text.startswith("/"):
            say("DL3000", one, "is absolute")
        if one.word == "EXPOSE" and not all(0 < int(port.split("/")[0]) < 65536 for port in one.text.split()):
            say("DL3011", one, "is a port")
        if one.word == "COPY":
            source = re.match(r"--from=(\S+)", one.text)
            if source and source.group(1) not in names[:-1]:
                say("DL3022", one, "copies from a stage that is above it")
            if len(one.text.replace("--from=", "").split()) > 3 and not one.text.endswith("/"):
                say("DL3021", one, "several sources need a directory")
        if one.word == "ENV" or one.word == "ARG":
            for name in re.findall(r"(\w+)=", one.text):
                if re.search(r"PASSWORD|PASSWD|SECRET|TOKEN|CREDENTIAL|API_?KEY|PRIVATE", name):
                    say("secret", one, f"{name} stays in the image for everybody to read")
            if re.search(r"\b(\w+)=\S*\$\{?\1\b", one.text) and one.word == "ENV":
                say("DL3044", one, "refers to a variable of the same instruction")
        if one.word == "RUN":
            run(one, say)
    final = stages(instructions)[-1][1]
    for word in ("CMD", "ENTRYPOINT", "HEALTHCHECK", "USER", "STOPSIGNAL", "EXPOSE"):
        if sum(one.word == word for one in final) != 1:
            found.append(f"DL4003/DL3012: the last stage has exactly one {word}")
    users = [one for one in final if one.word == "USER"]
    if users and not re.fullmatch(r"[1-9][0-9]*(:[0-9]+)?", users[-1].text):
        say("DL3002", users[-1], "is a number other than root's, so that runAsNonRoot can be proved")
    return found


def run(one, say):
    commands = re.split(r"&&|;|\|\||\|", one.text)
    for command in (command.split() for command in commands):
        if command and command[0] in ("sudo", "ssh", "vim", "shutdown", "service", "ps", "free", "top", "kill", "mount", "ifconfig"):
            say("DL3001/DL3004", one, f"{command[0]} makes no sense here")
        if command[:2] == ["cd", "/"] or (command[:1] == ["cd"] and len(commands) == 1):
            say("DL3003", one, "WORKDIR changes the directory")
        if command[:1] == ["apt"]:
            say("DL3027", one, "apt is for people")
    if re.search(r"apt-get (-\S+ )*(upgrade|dist-upgrade)", one.text):
        say("DL3005", one, "the base image is upgraded by its own makers")
    if re.search(r"apt-get (-\S+ )*install", one.text):
        if "apt-get update" not in one.text:
            say("SC/update", one, "a list from another layer is an old list")
        if not re.search(r"install( -\S+)* -y|-y( -\S+)* install|install -y", one.text):
            say("DL3014", one, "nobody can answer")
        if "--no-install-recommends" not in one.text:
            say("DL3015", one, "installs more than it names")
        if "rm -rf /var/lib/apt/lists/*" not in one.text:
            say("DL3009", one, "leaves the lists in the layer")
    if re.search(r"curl|wget", one.text):
        say("DL4006", one, "fetches something that no package manager has checked")
