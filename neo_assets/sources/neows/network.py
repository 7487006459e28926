"""The way to the host: the proxy and the certificates that the environment names, and what failures on the way mean.

The variables are the system's, not this project's, so the standard library and httpx read them, not `settings`.
`client` sends the requests.
"""

import ipaddress
import logging
import re
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit
from urllib.request import getproxies

import httpx
from socksio import SOCKSError

from neo_assets.sources.neows.errors import CertificateRejected, Misconfigured, NeoWsError, Refused, Unreachable

logger = logging.getLogger(__name__)

CONNECTION_ERRORS = (httpx.TransportError, SOCKSError, UnicodeError)
"""What a request without a response raises; UnicodeError: the resolver does not accept the host's name."""

_MAX_PORT = 65_535

_MAY_PASS = re.compile(r"5\d\d |Proxy Server could not connect")
"""A proxy's refusals that may be temporary: 5xx, and httpcore's words for a SOCKS proxy that cannot connect."""


@dataclass(frozen=True)
class Proxy:
    """A proxy, and the variable that names it."""

    variable: str
    server: httpx.Proxy

    def __str__(self) -> str:
        return f"the proxy {self.server.url} of {self.variable}"  # `httpx.Proxy` keeps user and password apart


def proxy_to(url: str) -> Proxy | None:
    """The proxy for requests to a URL; None if they go to the host directly.

    The variable for the URL's scheme, such as HTTPS_PROXY, wins over ALL_PROXY. On macOS and Windows, the system's
    settings apply too.

    Raises:
        Misconfigured: the variable names no proxy that can be used.
    """
    proxies = getproxies()
    scheme = urlsplit(url).scheme
    name = next((name for name in (scheme, "all") if proxies.get(name)), None)
    if name is None or _is_exempt(url, proxies.get("no", "")):
        return None
    variable, value = f"{name.upper()}_PROXY", proxies[name]
    value = value if "://" in value else f"http://{value}"
    try:
        # `socks` leaves the version open; 5 is what proxies speak today.
        proxy = httpx.Proxy(re.sub("^socks://", "socks5://", value))
        if not proxy.url.host or (proxy.url.port or 0) > _MAX_PORT:
            raise ValueError("no host, or no such port")
    except (ValueError, httpx.InvalidURL):
        shown = re.sub("//.*@", "//...@", value, flags=re.DOTALL)  # user and password
        raise Misconfigured(
            f"{variable}={shown!r} is not a proxy that can be used: give http://host:port, https://host:port or "
            f"socks5://host:port, or list {urlsplit(url).hostname} in NO_PROXY"
        ) from None
    return Proxy(variable, proxy)


def certificates_for(url: str) -> ssl.SSLContext:
    """The certificates to trust: those of SSL_CERT_FILE or SSL_CERT_DIR, otherwise those that come with httpx.

    Raises:
        Misconfigured: the URL is https, and SSL_CERT_FILE or SSLKEYLOGFILE cannot be used.
    """
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        if error.filename is not None:  # Python names no file when it reads certificates
            message = f"SSLKEYLOGFILE={error.filename} cannot be written ({error.strerror}): correct it, or unset it"
        elif isinstance(error, ssl.SSLError):
            message = "the file that SSL_CERT_FILE names holds no certificates: name a PEM file of them, or unset it"
        else:
            message = (
                f"the file that SSL_CERT_FILE names cannot be read ({error.strerror}): name a PEM file of "
                "certificates, or unset it"
            )
    if urlsplit(url).scheme == "https":
        raise Misconfigured(message)
    logger.warning("%s; plain http does without it", message)
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody


def connection_error(base_url: str, proxy: Proxy | None, error: Exception, reason: str) -> NeoWsError:
    """The error for a request without a response.

    Args:
        base_url: root of the API.
        proxy: the proxy in use.
        error: one of `CONNECTION_ERRORS`, or TimeoutError.
        reason: its text, without keys.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return CertificateRejected(
                f"{base_url}: its TLS certificate is not trusted ({cause.verify_message}); check NEOWS_BASE_URL, or "
                "name a file with its issuer's certificate in SSL_CERT_FILE"
            )
        cause = cause.__cause__ or cause.__context__
    if proxy is None:
        return Unreachable(f"{base_url} cannot be reached ({reason}); check the network and NEOWS_BASE_URL")
    if isinstance(error, httpx.ProxyError) and not _MAY_PASS.match(reason):
        return refused_by(proxy, reason)
    return Unreachable(
        f"{base_url} cannot be reached through {proxy} ({reason}); check {proxy.variable}, or list "
        f"{urlsplit(base_url).hostname} in NO_PROXY"
    )


def refused_by(proxy: Proxy | None, reason: str) -> Refused:
    """The error for a request that a proxy does not let through. `proxy` is None if it is not known."""
    if proxy is None:
        return Refused(f"a proxy in between answered {reason}; check the network's proxy")
    return Refused(
        f"{proxy} refuses ({reason}); check {proxy.variable}, with user and password if the proxy needs them"
    )


def _is_exempt(url: str, no_proxy: str) -> bool:
    """Whether NO_PROXY lists the URL's host: by name or domain, address or network, or with `*`.

    Entries that are none of these are ignored. httpx refuses to start with some of them, such as fd00::/8 and [::1].
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    for entry in no_proxy.replace(",", " ").split():
        if entry == "*" or _is_in_network(host, entry):
            return True
        try:
            listed = urlsplit(entry if "://" in entry else f"//{entry}")
            name, listed_port = (listed.hostname or "").lstrip("*."), listed.port
        except ValueError:
            continue
        is_host = bool(name) and (host == name or host.endswith(f".{name}"))
        if is_host and listed_port in (None, port) and listed.scheme in ("", "all", parts.scheme):
            return True
    return False


def _is_in_network(host: str, entry: str) -> bool:
    """Whether both are IP addresses, the entry also a network (10.0.0.0/8), and the host is in it."""
    try:
        network = ipaddress.ip_network(re.sub(r"[\[\]]", "", entry), strict=False)
        return ipaddress.ip_address(host) in network
    except ValueError:
        return False
