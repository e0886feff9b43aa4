-- The oldest unit of each sender, wherever it goes.
CREATE INDEX unit_tenant ON unit (tenant, due) WHERE NOT held AND destination <> 'local';
