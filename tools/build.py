"""jupyter-book build with all its options, reading and executing pages on two cores at once.

Sphinx can read pages in several processes, each of which runs its pages' cells; the command of
Jupyter Book does not pass that on, so its default is set here.
"""

import os
import sys

from jupyter_book import sphinx
from jupyter_book.cli.main import main

JOBS = min(2, os.cpu_count() or 1)  # each page needs half a gigabyte

if __name__ == "__main__":
    sphinx.build_sphinx.__kwdefaults__["jobs"] = JOBS
    sys.exit(main(["build", *sys.argv[1:]]))
