"""One file for each claim or tight group of claims: a frozen Config -> a frozen Result with its verdicts."""
