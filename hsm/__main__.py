"""`python -m hsm`."""

from hsm.cli.entry import main

if __name__ == "__main__":
    main()
