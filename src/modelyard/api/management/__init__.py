"""The management API: everything under `/api/v1`, its description, and its documentation."""

from __future__ import annotations

from modelyard.api.management.application import make_management_app
from modelyard.api.management.services import ManagementServices

__all__ = ["ManagementServices", "make_management_app"]
