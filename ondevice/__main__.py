"""`python -m ondevice` is the same as `ondevice`."""

from ondevice.cli import main

if __name__ == "__main__":
    main()
