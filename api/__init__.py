"""The operational CRM over HTTP: the only writer of CRM data. One slice per domain; `main` finds their routers."""
