"""The operational CRM over HTTP: the only writer of CRM data. One slice per domain, all in `main`."""
