"""Notifications: their events, the history of deliveries, and deliveries."""

from tasks.notify.deliver import deliver

__all__ = ["deliver"]
