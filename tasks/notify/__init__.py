"""Notifications: what is news, what was delivered, and delivering it."""

from tasks.notify.deliver import deliver

__all__ = ["deliver"]
