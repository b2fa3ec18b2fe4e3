-- Who cancelled a flow. When is the time the flow ended.
ALTER TABLE millrace.flows ADD COLUMN cancelled_by text;
-- A phase that ran and was cancelled has one row, updated twice in a few seconds: kept on its page.
ALTER TABLE millrace.cancellations SET (fillfactor = 70);
