"""`python -m spanward.sidecar` is the `spanward` command."""

from spanward.sidecar.main import main

main()
