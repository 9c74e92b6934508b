"""Writing configurations."""

import os
import pathlib


def section(header, **keys):
    lines = [f"[{header}]"]
    for key, value in keys.items():
        if isinstance(value, bool):
            value = "true" if value else "false"
        if value is not None:
            lines.append(f"{key}={value}")
    return "\n".join(lines) + "\n"


def supervisord(**keys):
    """`[supervisord]`; the daemon adds its socket and files."""
    return section("supervisord", **keys)


def program(name, command, **keys):
    return section(f"program:{name}", command=command, **keys)


def ini(*sections):
    return "\n".join(sections)


def script(directory, name, text):
    """An executable shell script: `;` and `#` in a command line would begin a comment of the INI file."""
    path = pathlib.Path(directory) / name
    path.write_text("#!/bin/sh\n" + text.strip("\n") + "\n")
    os.chmod(path, 0o755)
    return str(path)
