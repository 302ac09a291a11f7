"""Names in ``tls_server_config`` (Go's) and their equivalents in OpenSSL and Python's ssl: tables only.

https://pkg.go.dev/crypto/tls#CipherSuites, #CurveID, #ClientAuthType
"""

import ssl
from types import MappingProxyType
from typing import Final

VERSIONS: Final = MappingProxyType({"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3})

OLD_VERSIONS: Final = frozenset({"TLS10", "TLS11"})
"""Part of the format, but refused: RFC 8996 forbids them."""

CIPHERS: Final = MappingProxyType(
    {
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
        "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
        "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
        "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
        "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    }
)
"""Cipher suites of TLS 1.2."""

TLS13_CIPHERS: Final = frozenset(
    {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
)
"""Cipher suites of TLS 1.3: always enabled, as in Go; listing them has no effect on TLS 1.3."""

CURVES: Final = MappingProxyType(
    {"X25519": "X25519", "CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1"}
)

CLIENT_AUTH: Final = MappingProxyType(
    {
        "NoClientCert": ssl.CERT_NONE,
        # A certificate that is requested but never verified need not be requested.
        "RequestClientCert": ssl.CERT_NONE,
        "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
        "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
    }
)

UNSUPPORTED_CLIENT_AUTH: Final = frozenset({"RequireAnyClientCert", "RequireClientCert"})
"""Require a certificate without verifying it: Python's ssl cannot do that, and it would prove nothing."""
