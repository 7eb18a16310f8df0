"""How answers are written, whatever the upstream: JSON, XML, CSV, local times, requests to wait."""
