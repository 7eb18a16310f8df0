"""`python -m deployments.cli`: the same as the `gridtide` command."""

from deployments.cli.commands import main

main()
