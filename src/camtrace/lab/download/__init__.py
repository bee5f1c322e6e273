"""Public data sets over HTTP -> folders: resumed, checked, polite, and only when asked (`camtrace lab fetch SET --out DIR`).

`sets.fetch` knows the sets by name, `batch.download` goes through any index, `transfer` brings one file, `session` asks the server,
`addresses` trusts no name, `ledger` remembers what is there, `archive` unpacks zips.
"""

from camtrace.lab.download.archive import unpack
from camtrace.lab.download.batch import POLITE, Downloaded, Outcome, Step, download
from camtrace.lab.download.session import Manners
from camtrace.lab.download.sets import LISTINGS, downloadable, fetch

__all__ = ["LISTINGS", "POLITE", "Downloaded", "Manners", "Outcome", "Step", "download", "downloadable", "fetch", "unpack"]
