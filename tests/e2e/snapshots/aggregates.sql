-- Aggregates.
SELECT count(*) FROM salesforce.contact;
--> Foreign Scan
-->   Output: (count(*))
-->   Remote Query: SELECT COUNT(Id) agg0 FROM Contact
--= 300
--= (1 row)
SELECT count(*) FROM salesforce.contact WHERE account_id = '001RO000000EZaiYAG';
--> Foreign Scan
-->   Output: (count(*))
-->   Remote Query: SELECT COUNT(Id) agg0 FROM Contact WHERE AccountId = '001RO000000EZaiYAG'
--= 24
--= (1 row)
SELECT count(*) FROM salesforce.contact WHERE last_name = 'Smith';
--> Aggregate
-->   Output: count(*)
-->   ->  Foreign Scan on salesforce.contact
-->         Output: id, is_deleted, account_id, last_name, first_name, salutation, name, mailing_street, mailing_city, mailing_state, mailing_postal_code,…
-->         Filter: (contact.last_name = 'Smith'::text)
-->         Remote Query: SELECT LastName FROM Contact WHERE LastName = 'Smith'
--= 10
--= (1 row)
SELECT count(score__c), sum(score__c), avg(score__c), min(score__c), max(score__c) FROM salesforce.contact;
--> Foreign Scan
-->   Output: (count(score__c)), (sum(score__c)), (avg(score__c)), (min(score__c)), (max(score__c))
-->   Remote Query: SELECT COUNT(Score__c) agg0, SUM(Score__c) agg1, MIN(Score__c) agg2, MAX(Score__c) agg3 FROM Contact
--= 273 | 15285710101095.494647 | 55991612091.92488882 | -999999999999.999999 | 999999999999.999999
--= (1 row)
SELECT min(birthdate), max(created_date) FROM salesforce.contact;
--> Foreign Scan
-->   Output: (min(birthdate)), (max(created_date))
-->   Remote Query: SELECT MIN(Birthdate) agg0, MAX(CreatedDate) agg1 FROM Contact
--= 1700-01-01 | 2024-04-03 10:21:11+00
--= (1 row)
SELECT count(DISTINCT account_id), count(DISTINCT birthdate) FROM salesforce.contact;
--> Foreign Scan
-->   Output: (count(DISTINCT account_id)), (count(DISTINCT birthdate))
-->   Remote Query: SELECT COUNT_DISTINCT(AccountId) agg0, COUNT_DISTINCT(Birthdate) agg1 FROM Contact
--= 40 | 223
--= (1 row)
SELECT count(DISTINCT last_name), min(last_name) FROM salesforce.contact;
--> Aggregate
-->   Output: count(DISTINCT last_name), min(last_name)
-->   ->  Foreign Scan on salesforce.contact
-->         Output: id, is_deleted, account_id, last_name, first_name, salutation, name, mailing_street, mailing_city, mailing_state, mailing_postal_code,…
-->         Remote Query: SELECT LastName FROM Contact
--= 25 | 100%
--= (1 row)
SELECT count(*) FILTER (WHERE do_not_call) FROM salesforce.contact;
--> Aggregate
-->   Output: count(*) FILTER (WHERE do_not_call)
-->   ->  Foreign Scan on salesforce.contact
-->         Output: id, is_deleted, account_id, last_name, first_name, salutation, name, mailing_street, mailing_city, mailing_state, mailing_postal_code,…
-->         Remote Query: SELECT DoNotCall FROM Contact
--= 20
--= (1 row)
SELECT sum(number_of_employees), avg(annual_revenue) FROM salesforce.account WHERE active__c;
--> Foreign Scan
-->   Output: (sum(number_of_employees)), (avg(annual_revenue))
-->   Remote Query: SELECT SUM(NumberOfEmployees) agg0, SUM(AnnualRevenue) agg1, COUNT(AnnualRevenue) agg2 FROM Account WHERE Active__c = TRUE
--= 3937087 | 3912730097.66666667
--= (1 row)
