"""`python -m neurofit`: the same as the command `neurofit`."""

from neurofit.cli.app import main

if __name__ == "__main__":
    main()
