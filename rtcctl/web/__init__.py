"""What HTTP services share: body limits, any content type, CORS, error shape."""
