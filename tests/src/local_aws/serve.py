"""Runs the emulator until standard input ends, so that it can't outlive whoever started it, and tidies up after it."""

import os
import shutil
import signal
import sys
import threading


def end_with_standard_input(directory):
    while os.read(0, 4096):
        pass
    shutil.rmtree(directory, ignore_errors=True)
    # The functions' processes are in this process's group.
    os.killpg(0, signal.SIGKILL)


threading.Thread(target=end_with_standard_input, args=(sys.argv.pop(1),), daemon=True).start()
from ministack.app import main  # noqa: E402
from ministack.services import sts  # noqa: E402


def one_at_a_time(work):
    lock = threading.Lock()

    def locked(*arguments):
        with lock:
            return work(*arguments)

    return locked


# Whoever opens a session goes through all of them for those that have ended. Functions get theirs in threads of their own,
# and one whose look meets another's session fails with its batch ("dictionary changed size during iteration").
sts.register_session = one_at_a_time(sts.register_session)

main()
