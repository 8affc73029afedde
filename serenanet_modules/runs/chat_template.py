"""Fills in a chat template of anybody's, as a program of its own that may take little time and memory.

``python -I chat_template.py < REQUEST.json`` writes the text, or why a template cannot be filled in.
It imports nothing of this package, so that it starts at once.
"""

import json
import subprocess
import sys

SECONDS, MEMORY, LENGTH = 2, 2**28, 2**16  # of processor time; bytes; characters of the text
PATIENCE = 60  # seconds, on a machine that is busy
TOO_MUCH = f"it takes more than {SECONDS} s or {MEMORY >> 20} MiB of memory"


def filled(template, values):
    """A template's text.

    Parameters
    ----------
    template : str
    values : dict
        Plain values; it reaches nothing else.

    Raises
    ------
    ValueError
        With the reason, for one that cannot be filled in, or not within the bounds.
    """
    request = json.dumps({"template": template, "values": values}).encode()
    try:
        done = subprocess.run([sys.executable, "-I", __file__], input=request, capture_output=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise ValueError(TOO_MUCH) from None
    if done.returncode < 0:  # ended by a limit's signal
        raise ValueError(TOO_MUCH)
    if done.returncode:
        raise ValueError(done.stderr.decode(errors="replace").strip().rpartition("\n")[2] or "it failed")
    return json.loads(done.stdout)


def main():
    """Of the program."""
    import resource  # which POSIX alone has

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    asked, reason = json.load(sys.stdin), ""
    try:
        text = _rendered(asked["template"], asked["values"])
    except MemoryError:
        reason = TOO_MUCH
    except Exception as error:  # whatever a template may do
        reason = " ".join(str(error).split())[:500] or type(error).__name__
    if reason:
        sys.exit(reason)
    json.dump(text, sys.stdout)


def _rendered(template, values):
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    room = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    parts, length = [], 0
    for part in room.from_string(template).generate(**values):
        parts.append(part)
        length += len(part)
        if length > LENGTH:
            raise ValueError(f"its text is longer than {LENGTH} characters")
    return "".join(parts)


if __name__ == "__main__":
    main()
