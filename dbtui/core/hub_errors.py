"""What the hub's refusals mean to a person: what happened, and the page or command that mends it."""

from __future__ import annotations

from dbtui.core.errors import DbtuiError, UsageError, printable


class Interruption(Exception):
    """Something that may pass: ``error`` is what to say if it does not, ``wait`` the seconds the hub asked for."""

    def __init__(self, error: DbtuiError, wait: float = 0.0) -> None:
        super().__init__(error.message)
        self.error = error
        self.wait = wait


class UnseenError(DbtuiError):
    """What the hub does not show to whoever asks; it may not be there at all."""


def refusal(status: int, name: str, file: str, endpoint: str, logged_in: bool) -> DbtuiError:
    """The error for an HTTP status on a model or one of its files.

    The hub's own words are left out: a server may quote the request, and with it the token.
    """
    what = printable(name if not file else f"{file} of {name}")
    page = printable(f"{endpoint}/{name}")
    answers = {
        401: _not_accepted if logged_in else _login_missing,
        403: _terms_missing,
        404: _not_there,
        429: _too_many,
    }
    if status in answers:
        return answers[status](what, page, endpoint, logged_in)
    if status >= 500:
        return DbtuiError(
            "The hub is in trouble", f"It answered {status} for {what}.", "Try again later; what arrived is kept."
        )
    return DbtuiError("The hub refuses", f"It answered {status} for {what}.", f"See {page}.")


def _login_missing(what: str, page: str, endpoint: str, logged_in: bool) -> DbtuiError:
    return UnseenError(
        "The hub asks who you are",
        f"It answered 401 for {what}: it is gated, private or not there, and you are not logged in.",
        f"Check the name, accept the model's terms at {page} if it has any, then `dbtui login`.",
    )


def _not_accepted(what: str, page: str, endpoint: str, logged_in: bool) -> DbtuiError:
    return DbtuiError(
        "The hub does not accept your token",
        f"It answered 401 for {what}: you are logged in, but the token has expired or may not read this.",
        f"`dbtui login` with a token from {endpoint}/settings/tokens; the model's page is {page}.",
    )


def _terms_missing(what: str, page: str, endpoint: str, logged_in: bool) -> DbtuiError:
    who = "you are logged in, but your account has no access yet" if logged_in else "you are not logged in"
    again = "and try again. A fine-grained token has to be allowed to read gated models, too"
    then = again if logged_in else "then `dbtui login`"
    return DbtuiError(
        "The model is gated",
        f"The hub answered 403 for {what}: its terms have to be accepted, and {who}.",
        f"Accept them at {page}, {then}.",
    )


def _not_there(what: str, page: str, endpoint: str, logged_in: bool) -> DbtuiError:
    who = "" if logged_in else " Private models are seen after `dbtui login`; you are not logged in."
    return UsageError(
        f"The hub has no {what}", f"It answered 404: nothing has this name, or it is private.{who}", f"See {page}."
    )


def _too_many(what: str, page: str, endpoint: str, logged_in: bool) -> DbtuiError:
    more = "" if logged_in else " Accounts may ask for more: `dbtui login`."
    return DbtuiError(
        "The hub asks to slow down",
        f"It answered 429 for {what}: too many requests from here.",
        f"Wait some minutes and try again; what arrived is kept.{more}",
    )
