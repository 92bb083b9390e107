"""Exchange Server by Exchange Web Services: how Kalends reads and listens to its calendars.

`provider.py` is the front door. Pure: `soap`, `requests`, `faults`, `codec`, `recurrence`, `alldays`, `cursor`.
With I/O, through one `client`: `pull`, `spans`, `read`, `stream`, `directory`, `check`.
Signing in: `auth` and its ways `ntlm` and `oauth`, chosen in `sign_in`; pure beside them: `challenges`, `token_answers`.
"""
