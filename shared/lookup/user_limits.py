"""What users may have in a minute, by category, from variables in the form of CAVE's `LIMITER_CATEGORIES`.

CAVE's services read `{"query": "100/minute", ...}`: a category names a kind of request. Service accounts may have
categories of their own (`LIMITER_SERVICE_ACCOUNT_CATEGORIES`), which is what the authentication service says of a user.
Groups of users are ours, for it says these, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shared.config.settings import Settings
from shared.errors import ConfigurationError

QUERY, IDS = "query", "ids"
"""The categories that are read here: requests for data, and the ids in them. Others are those of other services."""

_FORM = re.compile(r"\s*(\d{1,12})\s*(?:/|per)\s*1?\s*minutes?\s*", re.IGNORECASE)


@dataclass(frozen=True)
class UserLimits:
    """What users may have in a minute: a limit by category, 0 for none.

    Attributes:
      everybody: of users for whom nothing else is said.
      service_accounts: of users that are programs, as far as it differs.
      groups: of the members of a group, as far as it differs.
    """

    everybody: Mapping[str, int]
    service_accounts: Mapping[str, int]
    groups: Mapping[str, Mapping[str, int]]

    @classmethod
    def from_settings(cls, settings: Settings) -> UserLimits:
        """The limits that the settings name.

        Raises:
          ConfigurationError: naming the variable that is wrong.
        """
        groups = _object("L2CACHE_LIMITER_GROUPS", settings.limiter_groups)
        return cls(
            {
                QUERY: settings.requests_per_minute,
                IDS: settings.ids_per_minute,
                **_categories("LIMITER_CATEGORIES", settings.limiter_categories),
            },
            _categories("LIMITER_SERVICE_ACCOUNT_CATEGORIES", settings.limiter_service_accounts),
            {name: _limits("L2CACHE_LIMITER_GROUPS", categories) for name, categories in groups.items()},
        )

    def of(self, user: object, category: str) -> int:
        """What a user may have in a minute; 0 for no limit.

        Of several limits that are for this user in particular the largest counts.

        Args:
          user: what the authentication service says of it, or anything else if nobody asked it.
          category: `QUERY` or `IDS`.
        """
        particular = [limits[category] for limits in self._particular(user) if category in limits]
        return max(particular, default=self.everybody[category])

    def _particular(self, user: object) -> Iterator[Mapping[str, int]]:
        if not isinstance(user, dict):
            return
        if user.get("service_account"):
            yield self.service_accounts
        groups = user.get("groups")
        for name in groups if isinstance(groups, list) else ():
            if isinstance(name, str) and name in self.groups:
                yield self.groups[name]


def _categories(variable: str, raw: str) -> dict[str, int]:
    return _limits(variable, _object(variable, raw))


def _object(variable: str, raw: str) -> dict[str, Any]:
    try:
        value = json.loads(raw or "{}")
    except ValueError:
        value = None
    return _checked(variable, value)


def _checked(variable: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigurationError(f"{variable} must be a JSON object of categories")
    return value


def _limits(variable: str, value: object) -> dict[str, int]:
    """Those of the categories that are read here."""
    categories = _checked(variable, value)
    return {name: _per_minute(variable, categories[name]) for name in (QUERY, IDS) if name in categories}


def _per_minute(variable: str, value: object) -> int:
    match = _FORM.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match[1]) < 1:
        # of what CAVE's services take, other spans of time are left out: there is one counter a minute
        raise ConfigurationError(f'{variable} must give limits as "N/minute", N at least 1, not {value!r}')
    return int(match[1])
