"""What is registered on the Prefect server: deployments, schedules, automations, and what changed in them."""
