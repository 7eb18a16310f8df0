"""The Prefect settings of the processes that run flows: local workers, `gridtide serve` and ECS tasks."""

RUN_SETTINGS = {
    # A run sends a heartbeat every 30 s, so that a run whose process died is detected within 90 s.
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    # How often a worker asks for runs; with the default of 10 s, a run started in the UI would wait that long.
    "PREFECT_WORKER_QUERY_SECONDS": "2",
}
"""These settings apply unless the environment or the profile sets them."""
