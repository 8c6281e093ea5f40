"""Allowances that all gateways of a host share."""

from modelyard.adapters.allowances.shared import SharedAllowances

__all__ = ["SharedAllowances"]
