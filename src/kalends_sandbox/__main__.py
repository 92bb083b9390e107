"""`python -m kalends_sandbox`: the command line of cli.py."""

from kalends_sandbox.cli import main

if __name__ == "__main__":
    main()
