"""`python -m camtrace`: the same as the command `camtrace`."""

from camtrace.cli import main

main()
