"""HTTP clients, one for each host, with the site's way to it: proxy, certificates, login."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from regild.errors import UsageError
from regild.host.address import Access, Host
from regild.host.login import Login, find_login

if TYPE_CHECKING:
    import ssl

    import httpx


def proxy_of(host: Host, access: Access) -> str:
    """The proxy for a host that the site asks for, or else this machine's environment, or
    nothing."""
    if access.proxy:
        return "" if access.proxy == "none" else access.proxy
    from urllib import request as environment

    if environment.proxy_bypass(host.name):
        return ""
    proxies = environment.getproxies()
    found = proxies.get(host.scheme) or proxies.get("all", "")
    return f"http://{found}" if found and "://" not in found else found


def open_client(
    host: Host,
    proxy: str,
    access: Access,
    logins: Sequence[Login],
    silence: float,
    connect: float,
) -> httpx.Client:
    """A client for one host; `silence` and `connect` are seconds to wait.

    Raises: UsageError when a certificate, a key or a proxy of the site's cannot be used.
    """
    from regild.host.web_library import httpx, keep_time

    trust = _context(access) if host.scheme == "https" else False
    try:
        client = httpx.Client(
            verify=trust,
            trust_env=False,
            proxy=_proxy(proxy, logins),
            timeout=httpx.Timeout(silence, connect=connect),
            follow_redirects=False,
        )
        return keep_time(client)
    except ImportError as error:
        what = f"the proxy for {host.shown} is of a kind that is not used here; http and https are"
        raise UsageError(what=what) from error
    except (ValueError, httpx.InvalidURL) as error:
        # Its text may hold the password, so it is not repeated.
        raise UsageError(what=f"the proxy for {host.shown} is no proxy's address") from error


def _proxy(address: str, logins: Sequence[Login]) -> httpx.Proxy | None:
    """A proxy, with the login that the site has for it."""
    from regild.host.web_library import httpx

    if not address:
        return None
    login = find_login(address, logins)
    return httpx.Proxy(address, auth=(login.name, login.password) if login else None)


def _context(access: Access) -> ssl.SSLContext:
    """What a server must show to be believed, and what we show of ourselves."""
    import ssl

    try:
        context = ssl.create_default_context(cafile=access.ca or None)
        if access.certificate:
            # Without a password for the key, or the library would ask the terminal for it.
            context.load_cert_chain(access.certificate, access.key or None, password=lambda: "")
    except (OSError, ssl.SSLError, ValueError) as error:
        named = ", ".join(filter(None, (access.ca, access.certificate, access.key)))
        raise UsageError(what=f"{named} cannot be used for {access.begins}: {error}") from error
    return context
