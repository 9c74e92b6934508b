#!/usr/bin/env python3
"""Writes down what Python itself makes of formats, words, environments and file name patterns, for PythonTableTests.

    venv/bin/python python_tables.py        # with supervisor==4.3.0 in the venv; rewrites tables/*.tsv next to this script

A line has an input, a tab, and what came of it; `!` begins a refusal. Backslash, tab, newline and return are escaped.
"""
import fnmatch
import os
import random
import shlex
import sys

from supervisor.datatypes import byte_size, dict_of_key_value_pairs, integer, octal_type, signal_number

NAMES = {"here": "/conf", "name": "web", "n": 7, "zero": 0, "big": 123456, "half": 25, "minus": -5, "empty": "", "percent": "100%d",
         "quote": "it's", "both": "a'b\"c", "e": "é", "one": "x", "a(b)c": "nested", "tab": "a\tb\\"}
R = random.Random(20261121)


def escape(text):
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def write(name, rows):
    seen = set()
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "tables", name), "w") as out:
        for source, result in rows:
            if source not in seen and not any(0xDC80 <= ord(c) <= 0xDCFF for c in source):
                seen.add(source)
                out.write(escape(source) + "\t" + escape(result) + "\n")


def attempt(function, source):
    try:
        return "=" + function(source)
    except Exception as error:  # every refusal of Python's is one of ours
        return "!" + type(error).__name__


def percent():
    fixed = ["", "%%", "a%%b", "%(here)s/x", "%(n)d", "%(n)02d", "%(n)5d|", "%(n)-5d|", "%(n)+d", "%(n)x", "%(nope)s", "%", "%d", "%x",
             "%(here", "%(here)", "%(here)q", "%(a(b)c)s", "%(percent)s", "%(n)s%(name)s", "%(name).2s", "%(name)10s|", "%(name)d",
             "%*d", "%(n)*d", "%(n).*d", "%(n)%", "%(one)c", "%(name)c", "%(big)c", "%(minus)c", "%(e)a", "%(both)r", "%(tab)r", "100%",
             "%(n)ld", "%(n)Ld", "%(n)lld", "%(n)#o", "%(n)#x", "%(n)#X", "%( n)s", "%()s", "%(n)i", "%(n)u", "%%(n)d", "%%%(n)d"]
    rows = [(text, attempt(lambda t: t % NAMES, text)) for text in fixed]
    for _ in range(600):
        text = "%%(%s)%s%s%s%s%s" % (
            R.choice(list(NAMES)), "".join(R.choice("-+ #0") for _ in range(R.choice([0, 0, 1, 2, 3]))),
            R.choice(["", "", "1", "4", "12"]), R.choice(["", "", ".", ".0", ".1", ".2", ".5", ".12"]),
            R.choice(["", "", "", "h", "l", "L"]), R.choice("sssdddiuoxXeEfFgGcra%z"))
        rows.append((text, attempt(lambda t: t % NAMES, text)))
    write("percent.tsv", rows)


def words():
    pieces = ["a", "bc", " ", "  ", "\t", "\n", "'", '"', "\\", "\\\\", '\\"', "\\'", "#", ";", "|", "é", "'x y'", '"x y"', "''", '""', "=", "$HOME",
              "\r", "\v", "\u00a0"]
    rows = [(text, attempt(lambda t: "\x1f".join(shlex.split(t)), text)) for text in
            ["", " ", "a b", "'a b' c", '"a\\"b"', "a\\ b", "a'b'c", '"a\\xb"', "'a\\'", "a\\", '"a\\', "a ''", "sh -c 'echo \"hi\"'"]]
    for _ in range(800):
        text = "".join(R.choice(pieces) for _ in range(R.randint(1, 8)))
        rows.append((text, attempt(lambda t: "\x1f".join(shlex.split(t)), text)))
    write("words.tsv", rows)


def environment():
    def run(text):
        pairs = dict_of_key_value_pairs(text)
        return "\x1f".join("%s=%s" % pair for pair in pairs.items())

    fixed = ["", "A=1", "A=1,", "A=1,B=2", "A=1 B=2", "A=a b", "A=a b,C=d", 'A="a,b c"', "S='x\"y'", 'E=""', "P=\"50%\"", "A=b#c", "A=b #c\nB=1",
             'A="x\\"y"', "A", "A=", "=", ",", "A=1,B", "A==1", 'A="b" C="d"', "A=/usr/bin:/bin,B=(x)", "A=a@b", "A='unclosed", "A=1,\n  B=2",
             '"A"="b"', "A=é", 'A="é"', "A='\"x\"'", 'A=x"y z"', "A=1;B=2", "A=1,A=2", "A=\\"]
    def newer(text):
        """supervisor 4.4's reading (POSIX mode), which stands in where 4.3 refuses."""
        lexer = shlex.shlex(text, posix=True)
        lexer.wordchars += "/.+-():"
        tokens, pairs = list(lexer), {}
        for index in range(0, len(tokens), 4):
            name, equals, value = tokens[index:index + 3]
            if equals != "=":
                raise ValueError(text)
            pairs[name] = value
        return "\x1f".join("%s=%s" % pair for pair in pairs.items())

    def either(text):
        result = attempt(run, text)
        return attempt(newer, text) if result.startswith("!") else result

    rows = [(text, either(text)) for text in fixed]
    pieces = ["A", "B", "C1", "=", "=", "=", ",", ",", " ", "\n", '"x y"', "'z'", '""', "''", "#", "@", "/a", ".", "-", "(", ")", ":", "é", '"', "'", "\\",
              '"a\\"b"', "1", ";"]
    for _ in range(1200):
        if R.random() < 0.5:
            text = R.choice([",", ", ", " ", ";", ",\n"]).join(
                R.choice("ABCD") + "=" + R.choice(['1', '"x y"', "'z'", '""', "/a:b", "a b", 'x"y', '"a\\"b"', "é", "a#b"])
                for _ in range(R.randint(1, 4))) + R.choice(["", "", ",", "#x"])
        else:
            text = "".join(R.choice(pieces) for _ in range(R.randint(1, 9)))
        rows.append((text, either(text)))
    write("environment.tsv", rows)


def patterns():
    names = ["a", "ab", "abc", "b", "a.conf", "b.conf", ".hidden", "x-y", "]", "[", "!", "^", "-", "é", "a*b", "10", "A"]
    fixed = ["*", "?", "*.conf", "[ab]*", "[!a]*", "[a-c]", "[]]", "[!]]", "[", "[a", "a[", "**", "a*b", "*a*", "[--a]", "[a-]", "[-a]", "[^a]", "[c-a]", "??",
             "é", "[é]", "[0-9][0-9]", "[!", "[]", "[!]", "*?", "?*b", "[a-cx-z]-?", "[[]", "*.[a-d]onf"]
    pieces = ["*", "?", "[", "]", "!", "-", "a", "b", "c", ".", "[ab]", "[!b]", "^"]
    fixed += ["".join(R.choice(pieces) for _ in range(R.randint(1, 6))) for _ in range(400)]
    write("patterns.tsv", [(pattern, "=" + "\x1f".join(n for n in names if fnmatch.fnmatchcase(n, pattern))) for pattern in fixed])


def numbers():
    texts = ["0", "1", "-1", "+3", " 7 ", "007", "1_000", "1__0", "_1", "1_", "0x3", "1.0", "", " ", "-", "+-1", "- 1", "12345678901", "\t5\n", "1e3", "abc",
             "0_0", "\u00a05", "9", "8", "022", "0o22", "0O7", "0o_7", "0o", "777", "1 2", "50MB", "50mb", "1KB", "1 kb", "2GB", "-1KB", "MB", "5TB", "10K",
             "1_0kB", "TERM", "term", "SIGTERM", "sigint", " HUP ", "15", "64", "34", "33", "32", "65", "NOPE", "RTMIN", "RTMAX", "CLD", "IOT", "POLL", "usr1"]
    for name, function in [("integer", integer), ("octal", octal_type), ("size", byte_size), ("signal", signal_number)]:
        write(name + ".tsv", [(text, attempt(lambda t: str(int(function(t))), text)) for text in texts])


if __name__ == "__main__":
    os.makedirs(os.path.join(os.path.dirname(os.path.abspath(__file__)), "tables"), exist_ok=True)
    percent()
    words()
    environment()
    patterns()
    numbers()
    sys.exit(0)
