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


def sizes_worked_on(monkeypatch, step):
    """Return the list of sizes that a step, by its module's name, says it works on from now on."""
    seen, run = [], worker_processes.run_over_micrographs

    def run_over_micrographs(function, items, sizes):
        seen.extend(sizes)
        return run(function, items, seen)

    monkeypatch.setattr(f"pipeline.{step}.run_over_micrographs", run_over_micrographs)
    return seen
