ALTER TABLE products ADD COLUMN available BIGINT;
