"""What the Prefect server is told: deployments, schedules, automations, and what changed in them."""
