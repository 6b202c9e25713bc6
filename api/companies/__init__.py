"""Companies: whom deals are made with. Their name stays in PostgreSQL; events carry ids and non-personal facts."""
