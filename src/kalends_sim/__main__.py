"""`python -m kalends_sim`: the command line of cli.py."""

from kalends_sim.cli import main

if __name__ == "__main__":
    main()
