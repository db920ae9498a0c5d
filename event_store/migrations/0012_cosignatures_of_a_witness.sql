-- The largest sizes that one witness has cosigned are read from its end, also when others have cosigned many more since.
CREATE INDEX cosignature_of_witness ON audit_trail.cosignature (vkey, size);
