"""Does what `make run` starts divide the machine as it says?"""

from saeviz.running import processes


def worker_of(monkeypatch, cores, **environment):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("WORKERS", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(processes, "CORES", cores)
    program = processes.worker()
    at = program.command.index("--concurrency")
    return program.command[at + 1], program.environment.get("OMP_NUM_THREADS")


def test_one_worker_has_all_cores(monkeypatch):
    assert worker_of(monkeypatch, 8) == ("1", "8")


def test_several_divide_them(monkeypatch):
    assert worker_of(monkeypatch, 8, WORKERS="3") == ("3", "2")
    assert worker_of(monkeypatch, 2, WORKERS="4") == ("4", "1")


def test_threads_that_the_user_chose_are_kept(monkeypatch):
    assert worker_of(monkeypatch, 8, WORKERS="2", OMP_NUM_THREADS="5") == ("2", None)
