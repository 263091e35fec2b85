"""`python -m tests.saeviz.stand_ins`: the real supervisor over programs that only wait."""

import sys

from saeviz.running import supervise
from saeviz.running.processes import python

WAIT = "import time; time.sleep(600)"
WITH_A_CHILD = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {WAIT!r}, 'grandchild'])"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WITH_A_CHILD}"

if __name__ == "__main__":
    supervise.PATIENCE = 0.5  # or the tests would wait for it
    supervisor = supervise.Supervisor()
    supervisor.start(python("worker", "-c", STUBBORN, "worker"))
    supervisor.start(python("site", "-c", WAIT, "site", essential=True))
    supervisor.wait(lambda: False)
    supervisor.end()
    sys.exit(not supervisor.asked_to_end)
