"""`ondevice`, but an endpoint believes whatever times it finds saved: so tests can say how long models take."""

from ondevice.cli import main
from ondevice.cloud.backends.local import learner

if __name__ == "__main__":
    learner.agree = lambda one_ms, other_ms: True
    main()
