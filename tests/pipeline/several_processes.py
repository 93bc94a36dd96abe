"""Steps that work on micrographs in several processes, however few these are."""

from pipeline.running import worker_processes


def in_processes(monkeypatch, number):
    """Let steps work in so many processes, and return the list of those begun from now on."""
    begun, run = [], worker_processes.run_in_processes

    def run_in_processes(function, items, processes, **how):
        begun.append(processes)
        return run(function, items, processes, **how)

    monkeypatch.setattr(worker_processes, "MICROGRAPHS_PER_PROCESS", 1)
    monkeypatch.setattr(worker_processes, "available_cores", lambda: number)
    monkeypatch.setattr(worker_processes, "run_in_processes", run_in_processes)
    return begun
