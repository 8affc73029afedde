"""What the server allows."""

import os
from dataclasses import dataclass
from pathlib import Path

from serenanet_modules.errors import UserError
from serenanet_modules.inference.endpointing import Rules


@dataclass(frozen=True)
class Options:
    """Settings and limits of a server.

    Attributes
    ----------
    token : str or None
        What clients have to send as ``Authorization: Bearer …``, printable ASCII; None asks for nothing.
    hosts : tuple of str
        Names under which browsers reach a server that has no token, besides ``localhost`` and this machine's.
    lm : path, "auto" or None
        As `Recognizer.transcribe` takes it.
    rules : Rules
        What ends a sentence of live audio, where a session does not say it.
    batch_seconds : float
        Most seconds of padded audio that the network reads at a time.
    batch_wait : float
        Seconds that the network waits for company before it starts on a request, where the batch before had some.
    max_upload_bytes : int or None
        Of a whole request; never more than what the disk has room for, which alone counts where this is None.
    max_seconds : float
        Of one recording, and of one live session.
    max_queue : int
        Transcriptions that are being uploaded, decoded, waiting or in work.
    timeout : float
        Seconds for decoding an upload; and for its transcription, beyond the length of all audio that waits.
    decoders : int
        Uploads that are decoded at a time.
    max_live : int
        Live sessions at a time.
    idle_seconds : float
        After so long without a message a live session ends; and so long an upload may take beyond its size.
    max_connections : int
        Open at a time, live sessions aside; one more is closed.
    head_seconds : float
        For the head of a request.
    corrections : Path or None
        The folder in which corrected transcripts are kept with their audio, which is made in a folder that is there;
        without it nothing is kept.
    root_path : str
        What a proxy has before the paths of this server.
    """

    token: str | None = None
    hosts: tuple[str, ...] = ()
    lm: str | None = None
    rules: Rules = Rules()
    batch_seconds: float = 120.0
    batch_wait: float = 0.005
    max_upload_bytes: int | None = None
    max_seconds: float = 14_400.0
    max_queue: int = 64
    timeout: float = 300.0
    decoders: int = 2
    max_live: int = 4
    idle_seconds: float = 30.0
    max_connections: int = 512
    head_seconds: float = 10.0
    corrections: Path | None = None
    root_path: str = ""

    def __post_init__(self):
        if self.token is not None and not (self.token and all("!" <= letter <= "~" for letter in self.token)):
            raise UserError("the token must be one or more ASCII letters, digits and punctuation marks, without spaces")
        if self.root_path and not (self.root_path.startswith("/") and not self.root_path.endswith("/")):
            raise UserError(f"the root path {self.root_path!r} must begin with / and not end with it")
        if self.corrections is not None and not self.corrections.is_dir():
            if os.path.lexists(self.corrections):
                raise UserError(f"--corrections {self.corrections}: is no folder; give another name")
            if not self.corrections.absolute().parent.is_dir():
                raise UserError(f"--corrections {self.corrections}: its parent folder does not exist; make that first")
