"""The policy: labels, personal data, quality. Plain Python without Arrow or gRPC, for it runs inside applications."""
