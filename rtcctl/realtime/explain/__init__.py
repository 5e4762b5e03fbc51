"""The one place that knows what the Realtime API means by what it refuses, and what to do about it.

`errors.py`: what an error code of an answer means. The rest is what was wrong with what had been sent, as `Finding`s:
`request.py` takes method, path and body, `bodies.py` has the operations with the help of `body_fields.py`, `sdp.py`
reads session descriptions, `ice_servers.py` the lists that peer connections take, and `fields.py` says what each field
means. The service's own words stay as they are; these are ours, for logs and people.
"""
