"""Keeping secrets out of what is shown and stored: which names are those of secrets, and what is left of a value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "***"
_SHOWN_MAX = 4

# `MY_APIKEY`, `myApiKey` and `MY-API-KEY` are all read as words, so MONKEY, AUTHOR and KEYBOARD are none of these.
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SECRET_WORDS = frozenset(
    [
        "KEY",
        "KEYS",
        "TOKEN",
        "TOKENS",
        "SECRET",
        "SECRETS",
        "PASSWORD",
        "PASSWORDS",
        "PASSWD",
        "PASSPHRASE",
        "PASSCODE",
        "PWD",
        "PASS",
        "CREDENTIAL",
        "CREDENTIALS",
        "CREDS",
        "AUTH",
        "AUTHORIZATION",
        "BEARER",
        "DSN",
        "PAT",
        "SAS",
        "COOKIE",
        "JWT",
    ]
)
# Words that are written together with others often enough: DBPASSWORD, AUTHTOKEN, OPENAIAPIKEY.
_SECRET_ENDS = (
    *("TOKEN", "TOKENS", "SECRET", "SECRETS", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIAL", "CREDENTIALS"),
    *("APIKEY", "APIKEYS", "ACCESSKEY", "PRIVATEKEY", "SECRETKEY", "ACCOUNTKEY", "AUTHKEY", "SIGNINGKEY"),
)
_USERINFO = re.compile(r"(?<=://)[^/?#\s]*@")
_ASSIGNED = re.compile(
    r"(?i)\b([a-z_-]*(?:password|passwd|pwd|secret|token|credential|api_?key|access_?key|account_?key|sig)\s*=\s*)"
    r"[^\s&;,]+"
)


def names_a_secret(name: str) -> bool:
    """Whether a variable or field of this name holds a secret, judged by the words in it, in any case."""
    return any(word.upper() in _SECRET_WORDS or word.upper().endswith(_SECRET_ENDS) for word in _WORD.findall(name))


def mask(secret: str) -> str:
    """What may be shown of a secret: its first characters, at most four and at most a quarter of it, and ``***``.

    Nothing is shown of a secret under 16 characters: a quarter of that helps a guesser more than it helps a reader.
    """
    shown = min(_SHOWN_MAX, len(secret) // 4) if len(secret) >= 4 * _SHOWN_MAX else 0
    return secret[:shown] + HIDDEN


def without_passwords(value: str) -> str:
    """A value that is no secret as a whole, without those in it: user names in URLs, ``password=...`` in parameters."""
    return _ASSIGNED.sub(rf"\1{HIDDEN}", _USERINFO.sub(f"{HIDDEN}@", value))


def redact_environment(environment: Mapping[str, Any]) -> dict[str, str]:
    """Environment variables for the journal: values of secrets are ``***``, others lose the passwords in them."""
    return {
        name: HIDDEN if names_a_secret(name) else without_passwords(str(value)) for name, value in environment.items()
    }


def redact_image(image: Mapping[str, Any]) -> dict[str, Any]:
    """Image settings for the journal: without the secrets in ``environment``, and in addresses of requirements."""
    redacted = dict(image)
    if redacted.get("environment"):
        redacted["environment"] = redact_environment(redacted["environment"])
    if redacted.get("requirements"):
        redacted["requirements"] = [without_passwords(one) for one in redacted["requirements"]]
    return redacted
