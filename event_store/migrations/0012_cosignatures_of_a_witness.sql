-- The largest sizes that one witness has cosigned are found from their end, also if others have cosigned many since.
CREATE INDEX cosignature_of_witness ON audit_trail.cosignature (vkey, size);
