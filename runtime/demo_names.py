"""Words that the demo's invented companies and people are made of."""

INDUSTRIES = ("Software", "Manufacturing", "Logistics", "Retail", "Healthcare", "Energy", "Education", "Finance")
COUNTRIES = ("DE", "AT", "CH", "NL", "FR", "PL", "SE", "DK")
LOST_REASONS = ("Price", "No budget", "Chose a competitor", "No answer", "Missing feature", "Project stopped")

COMPANY_STARTS = (
    "Alder", "Amber", "Arbo", "Basal", "Birk", "Bluff", "Brack", "Calder", "Cinder", "Clover", "Corvo", "Delta",
    "Ember", "Fal", "Fenn", "Ferro", "Flint", "Gale", "Glim", "Grano", "Halden", "Hazel", "Holm", "Iron", "Juno",
    "Kestrel", "Kiel", "Larch", "Linden", "Lumen", "Maple", "Marl", "Meri", "Mossa", "Nimbo", "Norda", "Oaken",
    "Orbis", "Pine", "Quarz", "Rook", "Rowan", "Sable", "Sorrel", "Tarn", "Tessel", "Umbra", "Vela", "Willo", "Zephyr",
)  # fmt: skip
COMPANY_ENDS = (
    "bridge", "brook", "crest", "dale", "field", "ford", "forge", "gate", "grove", "hafen", "haus", "line", "mark",
    "mill", "path", "point", "port", "reach", "stone", "water", "werk", "wick", "wood", "works", "yard",
)  # fmt: skip
COMPANY_FORMS = ("GmbH", "AG", "BV", "Group", "Labs", "Systems", "Partners", "Co")

FIRST_NAMES = (
    "Ada", "Anouk", "Arne", "Basil", "Bente", "Carla", "Cleo", "Dario", "Edda", "Elin", "Emil", "Enno", "Femke",
    "Finn", "Gesa", "Greta", "Hanno", "Ida", "Ilse", "Ivo", "Jannis", "Jette", "Juno", "Kaja", "Kilian", "Lasse",
    "Leni", "Liv", "Maja", "Malte", "Mira", "Nils", "Noor", "Oda", "Oskar", "Piet", "Romy", "Runa", "Sanne", "Silas",
    "Svea", "Tilda", "Tjark", "Vera", "Wanda", "Yara", "Zoe",
)  # fmt: skip
SURNAME_STARTS = ("Ahl", "Berg", "Brand", "Dorn", "Eich", "Fark", "Gren", "Hass", "Immer", "Kolt", "Lind", "Morr",
                  "Nord", "Oster", "Pahl", "Rohd", "Sand", "Tief", "Ulm", "Vahr", "Wend", "Zorn")  # fmt: skip
SURNAME_ENDS = ("acker", "bach", "dahl", "egger", "feldt", "holt", "ing", "kamp", "mann", "ner", "rup", "sen", "stedt")
