"""`python -m hsm`."""

from hsm.cli.main import main

if __name__ == "__main__":
    main()
