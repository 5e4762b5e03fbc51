"""What server and lean peer share: DTLS, SRTP and batched UDP."""
